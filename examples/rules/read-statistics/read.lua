-- read.lua
local total_bytes = 0

function do_syscall(num, fd, buf, count, arg4, arg5, arg6, arg7, arg8)
    local ret = c_do_syscall(num, fd, buf, count, arg4, arg5, arg6, arg7, arg8)

    if ret > 0 then
        total_bytes = total_bytes + ret
        c_log(string.format("Total read: %d bytes", total_bytes))
    end

    return ret
end
