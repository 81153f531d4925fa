-- openat.lua: writing only below one directory, reading only what is needed to run
local allowed = require "policy"

function do_syscall(num, dirfd, path, flags, mode, ...)
    local name, err = c_path(dirfd, path, flags & linux.O_NOFOLLOW == 0)
    if not name then return err end
    local writes = flags & (linux.O_WRONLY | linux.O_RDWR | linux.O_CREAT | linux.O_TRUNC) ~= 0
    if not (writes and allowed.write or allowed.read)(name) then
        c_log("refused: " .. (writes and "write " or "read ") .. name)
        return -errno.EACCES
    end
    -- What was checked is what is opened, whatever another thread writes to `path` meanwhile.
    return c_do_syscall(num, linux.AT_FDCWD, name, flags | linux.O_NOFOLLOW, mode, ...)
end
