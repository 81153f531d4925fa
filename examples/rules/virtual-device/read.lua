-- read.lua
local device = require "device"

function do_syscall(num, fd, buf, count, ...)
    local file = device.open[fd]
    if not file then return c_do_syscall(num, fd, buf, count, ...) end
    return c_write_bytes(buf, device.read(file, count)) or -errno.EFAULT
end
