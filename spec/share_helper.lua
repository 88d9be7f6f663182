-- What the specs of Share have in common: shares that are stopped after each
-- test, children that use them, errors looked at.
--
--   local fixture = require "spec.share_helper"
--   after_each(fixture.clean_up)
--   local share = fixture.share{ read_timeout = 5 }

local core = require "suitkaise.core"
local helper = require "spec.helper"
local sk = require "suitkaise"

local fixture = {}

local OWN = debug.getinfo(1, "S").short_src
local open = {}

--- A new share, stopped by clean_up.
function fixture.share(options)
  local share = sk.Share(options)
  open[#open + 1] = share
  return share
end

--- For after_each: stops the test's shares and looks for what is left.
function fixture.clean_up()
  for i, share in ipairs(open) do
    share:stop()
    open[i] = nil
  end
  if rawget(_G, "jit") then jit.flush() end -- traces hold what they saw
  collectgarbage() -- 5.1: the proxies; then what they held, below
  helper.nothing_left()
end

--- The error that fn(...) raises, of that class, at a line of the file that
-- calls this.
function fixture.raises(class, fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then error("nothing was raised", 2) end
  if not sk.is(err, class) then
    error("not a " .. class .. ": " .. tostring(err), 2)
  end
  local file = debug.getinfo(2, "S").short_src
  local where = tostring(err.where)
  -- fn may be the library's: then its caller is here
  if not where:find(file, 1, true) and not where:find(OWN, 1, true) then
    error("raised at " .. where .. ": " .. tostring(err), 2)
  end
  return err
end

--- For setup: start the share that Dict, List and Results live in; it stays.
function fixture.start_default()
  assert(#sk.Dict { a = 1 } == 1)
  helper.wait_until(function() return (pcall(helper.nothing_left)) end)
end

--- Run fn(i) in n children at once; fails unless all end well.
function fixture.in_children(n, fn)
  local children = {}
  for i = 1, n do children[i] = helper.fork(fn, i) end
  for i = 1, n do
    local code, signal = children[i]:finish(60)
    if code ~= 0 then
      error(("child %d: exit code %s, signal %s"):format(i, tostring(code),
                                                         tostring(signal)), 2)
    end
  end
end

--- Send a signal to a process by its number.
function fixture.signal(pid, name)
  os.execute("kill -" .. name .. " " .. ("%d"):format(pid)
    .. " 2>/dev/null")
end

--- The process that keeps a coordinator running: its parent (Linux).
function fixture.keeper_of(pid)
  local file = io.open(("/proc/%d/stat"):format(pid))
  local text = file and file:read "*a" or ""
  if file then file:close() end
  return tonumber(text:match "%) %a (%d+)")
end

--- Is there such a process, not a zombie (Linux)?
function fixture.is_alive(pid)
  local file = io.open(("/proc/%d/stat"):format(pid))
  if not file then return false end
  local text = file:read "*a"
  file:close()
  return text:match "%) Z" == nil
end

--- Kill the coordinator; -> its process.
function fixture.kill_coordinator(share)
  local pid = share.coordinator_pid
  if pid then fixture.signal(pid, "KILL") end
  return pid
end

--- How long fn() took.
function fixture.elapsed(fn)
  local start = core.now()
  fn()
  return core.now() - start
end

return fixture
