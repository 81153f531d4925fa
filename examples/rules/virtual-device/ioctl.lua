-- ioctl.lua: MEMGETINFO of <mtd/mtd-user.h>, as flash tools ask it
local device = require "device"
local MEMGETINFO = 0x80204d01

function do_syscall(num, fd, request, arg, ...)
    if not device.open[fd] then return c_do_syscall(num, fd, request, arg, ...) end
    if request & 0xffffffff ~= MEMGETINFO then return -errno.ENOTTY end
    -- struct mtd_info_user: type, flags, size, erasesize, writesize, oobsize, padding
    local info = string.pack("<B xxx I4 I4 I4 I4 I4 I8", 3, 0xc00, 0x7c0000, 0x10000, 1, 0, 0)
    return c_write_bytes(arg, info) and 0 or -errno.EFAULT
end
