-- finish.lua: how long it took, in powers of two of a microsecond
local histogram = {}

function finish(name, num, ret, handled, ...)
    local seconds, nanoseconds = c_get_timestamp()
    local started = shared.started[ctx.tid]
    if not started then return end
    local us = (seconds * 1000000000 + nanoseconds - started) // 1000
    local slot = 0
    while us >= 1 do us, slot = us // 2, slot + 1 end
    local row = histogram[name] or {}
    histogram[name] = row
    row[slot] = (row[slot] or 0) + 1
end

function shared.report()
    local names = {}
    for name in pairs(histogram) do names[#names + 1] = name end
    table.sort(names)
    for _, name in ipairs(names) do
        local parts = {}
        for slot = 0, 40 do
            local n = histogram[name][slot]
            if n then parts[#parts + 1] = string.format("<%dus:%d", 1 << slot, n) end
        end
        c_log(string.format("%-16s %s", name, table.concat(parts, " ")))
    end
end
