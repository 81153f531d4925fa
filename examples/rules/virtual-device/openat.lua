-- openat.lua
local device = require "device"

function do_syscall(num, dirfd, path, ...)
    local name = c_read_string(path)
    if not name or not device.find(name) then return c_do_syscall(num, dirfd, path, ...) end
    local fd = c_do_syscall(num, linux.AT_FDCWD, "/dev/null", linux.O_RDWR)
    if fd >= 0 then device.opened(fd, name) end
    return fd
end
