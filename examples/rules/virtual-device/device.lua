-- device.lua: files that exist only here. A descriptor of ours is a real one (on /dev/null), so that no number clashes.
local device = { open = {} }

local contents = {
    ["/dev/nvram"] = "boot=flash\0mac=02:00:00:00:00:01\0model=X1\0\0",
    ["/proc/mtd"] = 'dev:    size   erasesize  name\nmtd0: 00040000 00010000 "boot"\nmtd1: 007c0000 00010000 "rootfs"\n',
}

function device.find(path) return contents[path] end

function device.opened(fd, path) device.open[fd] = { path = path, at = 0 } end

function device.read(file, count)
    local data = contents[file.path]:sub(file.at + 1, file.at + count)
    file.at = file.at + #data
    return data
end

function device.write(file, data)
    local old = contents[file.path]
    contents[file.path] = old:sub(1, file.at) .. data .. old:sub(file.at + #data + 1)
    file.at = file.at + #data
    return #data
end

return device
