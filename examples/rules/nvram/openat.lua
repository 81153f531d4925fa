-- openat.lua: /dev/nvram is there
local nvram = require "nvram"

function do_syscall(num, dirfd, path, flags, mode)
    if c_read_string(path) ~= "/dev/nvram" then return c_do_syscall(num, dirfd, path, flags, mode) end
    local fd = c_do_syscall(num, linux.AT_FDCWD, "/dev/null", flags & linux.O_CLOEXEC | linux.O_RDWR)
    if fd >= 0 then nvram.open[fd] = true end
    return fd
end
