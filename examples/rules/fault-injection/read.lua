-- read.lua: at most seven bytes at a time, as from a slow terminal or socket
function do_syscall(num, fd, buf, count, ...)
    return c_do_syscall(num, fd, buf, fd == 0 and math.min(count, 7) or count, ...)
end
