-- execve.lua: not in this sandbox
function do_syscall()
    return -errno.EACCES
end
