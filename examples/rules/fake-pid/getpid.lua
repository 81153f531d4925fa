-- getpid.lua
function do_syscall(num, arg1, arg2, arg3, arg4, arg5, arg6, arg7, arg8)
    local real_pid = c_do_syscall(num, arg1, arg2, arg3, arg4, arg5, arg6, arg7, arg8)
    c_log(string.format("Real PID: %d, returning: %d", real_pid, real_pid + 10000))
    return real_pid + 10000
end
