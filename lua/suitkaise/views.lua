--- What objects with modifiers share: a modifier makes a new view, with what
-- it says beside what others said, and leaves the old one as it was.
-- @module suitkaise.views

local views = {}

--- What modifiers said, with one thing more.
-- @tparam table how by the modifiers' names
-- @tparam string name
-- @param value
-- @treturn table a new table
function views.with(how, name, value)
  local new = {}
  for k, v in pairs(how) do new[k] = v end
  new[name] = value
  return new
end

--- Is it a number of seconds, of at least 0?
-- @param value
-- @treturn boolean
function views.is_seconds(value)
  return type(value) == "number" and value >= 0
end

return views
