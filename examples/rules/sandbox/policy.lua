-- policy.lua: what the rules of this directory ask
local root = os.getenv("SANDBOX") or "/tmp/sandbox"
local readable = { "/usr/", "/lib/", "/lib64/", "/bin/", "/etc/ld.so.cache", "/etc/locale.alias", "/proc/", "/dev/null" }

local function below(directory, name)
    return name == directory or name:sub(1, #directory + 1) == directory .. "/"
end

local policy = {}
function policy.write(name)
    return below(root, name) or name == "/dev/null"
end
function policy.read(name)
    if policy.write(name) then return true end
    for _, prefix in ipairs(readable) do
        if name:sub(1, #prefix) == prefix then return true end
    end
    return false
end
return policy
