-- execveat.lua
function do_syscall()
    return -errno.EACCES
end
