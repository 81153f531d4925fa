-- openat.lua: every file the program opens, and what came of it
local names = {}
for name, number in pairs(errno) do names[number] = name end

function do_syscall(num, dirfd, path, flags, ...)
    -- Read the path before the call: afterwards the program may have changed it.
    local name = c_read_string(path) or string.format("<bad address 0x%x>", path)
    local ret = c_do_syscall(num, dirfd, path, flags, ...)
    local way = flags & linux.O_ACCMODE == linux.O_RDONLY and "read" or "write"
    if ret >= 0 then
        c_log(string.format("open for %s: %s -> fd %d", way, name, ret))
    else
        c_log(string.format("open for %s: %s -> %s", way, name, names[-ret] or ret))
    end
    return ret
end
