-- nvram.lua: the settings, and which descriptors are the device
local nvram = { open = {}, settings = { model = "X1", lan_ipaddr = "192.168.1.1", boot = "flash" } }

local file = os.getenv("NVRAM_FILE")
local saved = file and io.open(file)
if saved then
    for line in saved:lines() do
        local name, value = line:match("^([^=]+)=(.*)$")
        if name then nvram.settings[name] = value end
    end
    saved:close()
end

function nvram.commit()
    if not file then return true end
    local names = {}
    for name in pairs(nvram.settings) do names[#names + 1] = name end
    table.sort(names)
    local out = io.open(file, "w")
    if not out then return false end
    for _, name in ipairs(names) do out:write(name, "=", nvram.settings[name], "\n") end
    return out:close()
end

return nvram
