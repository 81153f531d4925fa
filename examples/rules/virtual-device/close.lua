-- close.lua
local device = require "device"

function do_syscall(num, fd, ...)
    device.open[fd] = nil
    return c_do_syscall(num, fd, ...)
end
