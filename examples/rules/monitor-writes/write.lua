-- write.lua
function do_syscall(num, fd, buf, count, arg4, arg5, arg6, arg7, arg8)
    c_log(string.format("Writing %d bytes to fd %d", count, fd))

    local ret = c_do_syscall(num, fd, buf, count, arg4, arg5, arg6, arg7, arg8)

    c_log(string.format("Wrote %d bytes, ret=%d", count, ret))

    return ret
end
