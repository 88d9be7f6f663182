-- What the specs share: children that report, waits with an end, and the
-- check that a test leaves nothing behind.
--
--   local helper = require "spec.helper"
--   after_each(helper.nothing_left)

local core = require "suitkaise.core"
local each = require "suitkaise.each" -- a leak must not be missed
local has_lfs, lfs = pcall(require, "lfs")

local PATIENCE = 20  -- seconds until a test counts as hung
local TICK = 0.002   -- seconds between two looks at a condition

local helper = {}

--- The Lua that runs this: "luajit", "lua5.1", "lua5.3", "lua5.4".
helper.lua = rawget(_G, "jit") and "luajit"
  or _VERSION:lower():gsub(" ", "")

-- ---- waiting ----

local function read_file(path)
  local file = io.open(path)
  if not file then return "" end -- a thread or process that has ended
  local text = file:read "*a"
  file:close()
  return text
end

--- Wait until `condition()` holds, looking again and again; fails when it
-- does not within `timeout` seconds. -> what the condition returned
function helper.wait_until(condition, timeout, what)
  local deadline = core.now() + (timeout or PATIENCE)
  while true do
    local result = condition()
    if result then return result end
    if core.now() > deadline then
      error("timeout: " .. (what or "the condition did not come true"), 2)
    end
    core.wait({}, {}, "eager", TICK)
  end
end

-- ---- children ----

local Child = {}
Child.__index = Child

--- Run fn(...) in a forked child. An error in it goes to stderr, and the
-- child ends with exit code 1.
-- @usage local child = helper.fork(function() flag:set() end)
-- assert.equal(0, child:finish())
function helper.fork(fn, ...)
  local process = assert(core.fork(function(...)
    local ok, err = pcall(fn, ...)
    if ok then core.exit(0) end
    io.stderr:write("child: ", tostring(err), "\n")
    core.exit(1)
  end, ...))
  return setmetatable({ process = process, pid = process:pid() }, Child)
end

--- Wait for its end and forget it: -> exit code or nil, signal or nil.
-- Fails, and kills it, when it does not end in time.
function Child:finish(timeout)
  local deadline = core.now() + (timeout or PATIENCE)
  local code, signal, has_ended = self.process:poll()
  while not has_ended and core.now() < deadline do
    core.wait({}, { self.process }, "eager", deadline - core.now())
    code, signal, has_ended = self.process:poll()
  end
  self.process:close() -- kills it if it is still there
  if not has_ended then error("timeout: the child did not end", 2) end
  return code, signal
end

--- Wait until it sleeps in a system call (Linux; elsewhere at once): what a
-- child waits for is then the only thing that it can be waiting for.
function Child:until_asleep()
  helper.wait_until(function()
    local stat = read_file("/proc/" .. self.pid .. "/stat")
    return stat == "" or stat:match "%) S "
  end)
end

--- Send a signal; SIGKILL if none is given.
function Child:kill(signal)
  self.process:kill(signal)
end

--- Run fn(...) in a child and wait for it; fails unless all went well.
function helper.in_child(fn, ...)
  local code, signal = helper.fork(fn, ...):finish()
  if code ~= 0 then
    error("the child failed: exit code " .. tostring(code) .. ", signal "
      .. tostring(signal), 2)
  end
end

-- ---- other programs ----

local function quote(word)
  return "'" .. tostring(word):gsub("'", "'\\''") .. "'"
end

local function first_word()
  local args, i = rawget(_G, "arg") or {}, 0
  while args[i - 1] do i = i - 1 end
  return args[i] or helper.lua
end

--- The interpreter that runs the tests, as a shell word.
helper.interpreter = quote(first_word())

--- Run Lua code in a new interpreter of this kind: -> what it wrote to
-- stdout and stderr. `options` go before the program: "-joff"; `before` is
-- shell code that runs first: "ulimit -n 20".
-- @usage assert.equal("3\n", helper.run "print(1 + 2)")
function helper.run(code, options, before)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  assert(file:write(code))
  assert(file:close())
  local paths = "LUA_PATH=" .. quote(package.path) .. " LUA_CPATH="
    .. quote(package.cpath)
  local command = "unset LUA_PATH_5_3 LUA_CPATH_5_3 LUA_PATH_5_4 "
    .. "LUA_CPATH_5_4; " .. (before and before .. "; " or "") .. paths
    .. " exec " .. helper.interpreter .. " "
    .. (options or "") .. " " .. quote(name) .. " 2>&1"
  local pipe = assert(io.popen(command))
  local output = pipe:read "*a"
  pipe:close()
  os.remove(name)
  return output
end

-- ---- nothing left ----

local function words(text)
  local set = {}
  for word in text:gmatch "%S+" do set[word] = true end
  return set
end

-- Children of this process, zombies included: pid -> how it is called.
local function children()
  local found = {}
  for thread in lfs.dir "/proc/self/task" do
    if thread:match "^%d+$" then
      local path = "/proc/self/task/" .. thread .. "/children"
      for pid in each(words(read_file(path))) do
        local stat = read_file("/proc/" .. pid .. "/stat")
        found[pid] = stat:match "%((.*)%) (%a)" and
          stat:gsub("^.-%((.*)%) (%a).*$", "%1, state %2") or "gone"
      end
    end
  end
  return found
end

-- Open descriptors: number -> what it is. The listing has one of its own.
local function descriptors()
  local found = {}
  local own = "/proc/" .. core.getpid() .. "/fd"
  for number in lfs.dir "/proc/self/fd" do
    local path = "/proc/self/fd/" .. number
    local target = number:match "^%d+$"
      and lfs.symlinkattributes(path, "target")
    if target and target ~= own then found[number] = target end
  end
  return found
end

-- Mapped memory files: inode -> name.
local function mappings()
  local found = {}
  for line in read_file("/proc/self/maps"):gmatch "[^\n]+" do
    local inode, name = line:match "^%S+ %S+ %S+ %S+ (%d+)%s+(/memfd:%S+)"
    if inode then found[inode] = name end
  end
  return found
end

local function snapshot()
  return { child = children(), descriptor = descriptors(),
           mapping = mappings() }
end

-- What a process makes once, on first use, and keeps: the root segment, the
-- bell that a Lua state sleeps on.
local function warm_up()
  require("suitkaise.shared").Counter()
  core.wait({}, {}, "eager", 0)
end

local can_check = has_lfs and lfs.attributes("/proc/self/maps") ~= nil
  and lfs.symlinkattributes("/proc/self/exe", "target") ~= nil
local baseline

if can_check then
  warm_up()
  baseline = snapshot()
else
  io.stderr:write("nothing_left: needs lfs and Linux's /proc: not checked\n")
end

local function leftovers(now)
  local lines = {}
  for kind, things in each(now) do
    for id, what in each(things) do
      if baseline[kind][id] ~= what then
        lines[#lines + 1] = kind .. " " .. id .. ": " .. what
      end
    end
  end
  table.sort(lines)
  return lines
end

-- Overwrite what calls that have returned left on the stack: the collector
-- takes a slot of a frame that has not been used yet for what is in it.
local function wipe_stack()
  return (select("#", (table.unpack or unpack)({}, 1, 200)))
end

local MOST_COLLECTIONS = 10

--- For after_each: fails when there is a child, zombie, descriptor or shared
-- mapping that was not there before, after what nobody holds was collected.
-- Each is reported once, with the test that left it.
function helper.nothing_left()
  -- An object, then its state, then what that holds; one more when a
  -- collection was under way: what it had marked stays, and its finalizers.
  for _ = 1, 3 do
    wipe_stack()
    collectgarbage()
  end
  if not can_check then return end
  local now = snapshot()
  local lines = leftovers(now)
  for _ = 4, MOST_COLLECTIONS do
    if #lines == 0 then break end
    wipe_stack()
    collectgarbage()
    now = snapshot()
    lines = leftovers(now)
  end
  baseline = now
  if #lines > 0 then
    error("left behind:\n  " .. table.concat(lines, "\n  "), 0)
  end
end

return helper
