-- socket.lua
function do_syscall(num, domain, type, protocol, arg4, arg5, arg6, arg7, arg8)
    if domain == 2 then  -- AF_INET
        c_log("Blocked network socket")
        return -1  -- no call of the original: an error straight away (EPERM)
    end

    return c_do_syscall(num, domain, type, protocol, arg4, arg5, arg6, arg7, arg8)
end
