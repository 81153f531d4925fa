-- entry.lua: note when a call begins
shared.started = shared.started or {}

function entry(name, num, ...)
    local seconds, nanoseconds = c_get_timestamp()
    shared.started[ctx.tid] = seconds * 1000000000 + nanoseconds
    if name == "exit_group" and shared.report then shared.report() end
end
