-- openat.lua: every file that was really opened, once, in a list
local seen = {}
local list = io.open(os.getenv("OPENS") or "opened-files.txt", "w")

function do_syscall(num, ...)
    local fd = c_do_syscall(num, ...)
    local name = fd >= 0 and c_fd_path(fd)
    if name and not seen[name] then
        seen[name] = true
        list:write(name, "\n")
    end
    return fd
end
