-- ioctl.lua: the driver's requests
local nvram = require "nvram"
local GET, SET, COMMIT = 0xc0604e01, 0x40604e02, 0x4e03

function do_syscall(num, fd, request, arg, ...)
    if not nvram.open[fd] then return c_do_syscall(num, fd, request, arg, ...) end
    request = request & 0xffffffff
    if request == COMMIT then return nvram.commit() and 0 or -errno.EIO end
    if request ~= GET and request ~= SET then return -errno.ENOTTY end
    local bytes, err = c_read_bytes(arg, 96)
    if not bytes then return err end
    local name, value = bytes:sub(1, 32):match("^[^\0]*"), bytes:sub(33):match("^[^\0]*")
    if request == SET then
        nvram.settings[name] = value
        return 0
    end
    value = nvram.settings[name]
    if not value then return -errno.ENOENT end
    return c_write_bytes(arg + 32, string.pack("c64", value)) and 0 or -errno.EFAULT
end
