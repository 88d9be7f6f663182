--- (first build)
local resources = {}
function resources.describe() return nil end
return resources
