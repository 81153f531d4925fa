-- write.lua
local device = require "device"

function do_syscall(num, fd, buf, count, ...)
    local file = device.open[fd]
    if not file then return c_do_syscall(num, fd, buf, count, ...) end
    local data, err = c_read_bytes(buf, count)
    return data and device.write(file, data) or err
end
