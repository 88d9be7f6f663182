-- Something that calls a function when nobody holds it any more.

-- Make an object: when it is collected, `fn` is called, and must not raise.
-- Where Lua knows `<close>` variables, it may be one.
-- @tparam function fn
-- @treturn userdata or table
return function(fn)
  if newproxy then -- Lua 5.1: only a userdata has a finalizer
    local proxy = newproxy(true)
    getmetatable(proxy).__gc = fn
    return proxy
  end
  return setmetatable({}, { __gc = fn, __close = fn })
end
