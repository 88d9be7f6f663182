-- For functions that make closures around what is to be collected in time.

-- Make such a function known to LuaJIT as one of many. What LuaJIT compiles is
-- for one closure alone, which the compiled code then keeps, with all that it
-- refers to, from being collected; only of functions of which it has seen three
-- closures does it compile code for all.
-- @tparam function make called without arguments, returns a closure
-- @treturn function make
return function(make)
  if rawget(_G, "jit") then
    for _ = 1, 3 do make() end
  end
  return make
end
