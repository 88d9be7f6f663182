-- What objects with modifiers share: a modifier makes a new view, with what
-- it says beside what others said, and leaves the old one as it was.

local each = require "suitkaise.each"

local views = {}

local OBJECT = {} -- a view's key for what it is a view of

-- What modifiers said, with one thing more.
-- @tparam table how by the modifiers' names
-- @tparam string name
-- @param value
-- @treturn table a new table
function views.with(how, name, value)
  local new = {}
  for k, v in each(how) do new[k] = v end
  new[name] = value
  return new
end

-- Is it a number of seconds, of at least 0?
-- @param value
-- @treturn boolean
function views.is_seconds(value)
  return type(value) == "number" and value >= 0
end

-- The class of views of objects: methods of the view are called with the
-- object, everything else is the object's.
-- @tparam string name
-- @tparam table methods by name: function(object, ...)
-- @treturn function view(object)
function views.over(name, methods)
  local View = { __name = name }

  function View.__index(view, key)
    local object = rawget(view, OBJECT)
    local method = methods[key] or object[key]
    if type(method) ~= "function" then return method end
    return function(self, ...)
      return method(self == view and object or self, ...)
    end
  end

  function View.__newindex(view, key, value)
    rawget(view, OBJECT)[key] = value
  end

  if methods.__call then
    function View.__call(view, ...)
      return methods.__call(rawget(view, OBJECT), ...)
    end
  end

  function View.__tostring(view) return tostring(rawget(view, OBJECT)) end

  return function(object) return setmetatable({ [OBJECT] = object }, View) end
end

return views
