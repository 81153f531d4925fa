-- c_path asks the kernel, so tests use paths that every system has.
test("reading what is needed", function()
    fake.openat = 5
    expect(call("openat", linux.AT_FDCWD, "/usr/bin", linux.O_RDONLY), 5)
    expect(calls[1][3] & linux.O_NOFOLLOW, linux.O_NOFOLLOW)
end)
test("writing elsewhere is refused without asking the kernel", function()
    expect(call("openat", linux.AT_FDCWD, "/usr/new", linux.O_WRONLY | linux.O_CREAT), -errno.EACCES)
    expect(#calls, 0)
    expect(logs[1], "refused: write /usr/new")
end)
test("nothing else changes the file system", function()
    for _, name in ipairs { "rename", "unlinkat", "mkdirat", "execve", "socket" } do
        expect(call(name), -errno.EACCES, name)
    end
end)
