-- Output handler of busted for tools/run-tests: one line per test into the
-- file named by -Xoutput, apart from what the tests themselves print.
local busted = require "busted"
local base = require "busted.outputHandlers.base"
local pretty = require "pl.pretty"

local function vm()
  if not jit then return _VERSION end
  return jit.version .. (jit.status() and " jit=on" or " jit=off")
end

return function(options)
  local handler = base()
  local out = assert(io.open(options.arguments[1], "a"))
  local count = 0

  -- Forked children share the file: nothing may wait in a buffer.
  local function write(...)
    out:write(...)
    out:write("\n")
    out:flush()
  end

  local function note(text)
    write("# ", (tostring(text):gsub("\n", "\n# ")))
  end

  local function fail(t)
    count = count + 1
    write("not ok ", count, " - ", t.name or t.element.descriptor)
    local where = t.element.trace
    if where and where.currentline then
      note(where.short_src .. ":" .. where.currentline)
    end
    note(type(t.message) == "string" and t.message
      or pretty.write(t.message or "nil error"))
    if t.randomseed then note("random seed " .. t.randomseed) end
    if t.trace and t.trace.traceback then note(t.trace.traceback) end
  end

  busted.subscribe({ "suite", "start" }, function()
    write("# vm: ", vm())
    return nil, true
  end)

  busted.subscribe({ "suite", "end" }, function()
    write("1..", count)
    return nil, true
  end)

  busted.subscribe({ "test", "start" }, function(element)
    write("# begin ", handler.getFullName(element))
    return nil, true
  end)

  busted.subscribe({ "test", "end" }, function(element, _, status)
    if status == "success" then
      count = count + 1
      write("ok ", count, " - ", handler.getFullName(element))
    elseif status == "pending" then
      local name = handler.getFullName(element)
      fail{ name = name, element = element, message = "pending" }
    elseif status == "failure" then
      fail(handler.failures[#handler.failures])
    else
      fail(handler.errors[#handler.errors])
    end
    return nil, true
  end)

  -- Errors outside of a test: a file that does not load, a setup that raises.
  local function outside(element)
    if element.descriptor ~= "it" then fail(handler.errors[#handler.errors]) end
    return nil, true
  end
  busted.subscribe({ "error" }, outside)
  busted.subscribe({ "failure" }, outside)

  return handler
end
