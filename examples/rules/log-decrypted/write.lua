-- write.lua: what goes to a terminal, pipe or file in the clear
function do_syscall(num, fd, buf, count, ...)
    local data = c_read_bytes(buf, math.min(count, 256))
    if data then c_log(string.format("%s <- %q", c_fd_path(fd) or fd, data)) end
    return c_do_syscall(num, fd, buf, count, ...)
end
