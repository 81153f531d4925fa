-- ioctl_test.lua: lunagate rules test examples/rules/nvram
test("a setting is read, changed and read again", function()
    fake.openat = 3
    expect(call("openat", linux.AT_FDCWD, "/dev/nvram", linux.O_RDWR, 0), 3)
    local request = memory(string.pack("c32c64", "boot", ""))
    expect(call("ioctl", 3, 0xc0604e01, request), 0)
    expect(c_read_string(request + 32), "flash")
    expect(call("ioctl", 3, 0x40604e02, memory(string.pack("c32c64", "boot", "net"))), 0)
    expect(call("ioctl", 3, 0xc0604e01, request), 0)
    expect(c_read_string(request + 32), "net")
    expect(call("ioctl", 3, 0xc0604e01, memory(string.pack("c32c64", "other", ""))), -errno.ENOENT)
end)
