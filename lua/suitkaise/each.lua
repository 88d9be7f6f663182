--- Loops over the entries of a table that LuaJIT leaves alone.
--
-- LuaJIT 2.1 has an instruction of its own for loops over `pairs` and `next`,
-- which it knows by these two names. In versions from September 2021 to April
-- 2022, Debian 12's among them, such a loop may end after its first entry, and
-- from then on always, once the compiler has given it up (issue 827 of LuaJIT;
-- others of its kind were mended until 2026). Under any other name it is an
-- ordinary loop, which has no such flaw. So there is no loop over `pairs` or
-- `next` in the library; tools/layers looks for them.
-- @module suitkaise.each

local following = next

--- Iterate over the entries of a table, whatever its metatable says. As with
-- `next`, the loop may change entries and take them out, but add none, not even
-- nil: it might never end.
-- @tparam table t
-- @treturn function iterator
-- @treturn table t
-- @usage for name, value in each(given) do checked[name] = value end
local function each(t)
  return following, t
end

return each
