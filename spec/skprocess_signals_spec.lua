-- Ctrl-C, the death of the owner, and hosts with signal handlers of their own.

local core = require "suitkaise.core"
local helper = require "spec.helper"

-- What every program here begins with.
local PRELUDE = [[
io.stdout:setvbuf "line"
local core = require "suitkaise.core"
local sk = require "suitkaise"
local function process(hooks, config)
  local Class = sk.Skprocess:extend "Sample"
  for name, hook in pairs(hooks) do Class[name] = hook end
  local p = Class()
  for name, value in pairs(config or {}) do p.config[name] = value end
  return p
end
-- A child that does something to this process once `when` is set and it sleeps.
local function is_asleep(pid)
  local stat = io.open("/proc/" .. pid .. "/stat")
  local text = stat and stat:read "*a" or ""
  if stat then stat:close() end
  return text:match "%) S " ~= nil
end
local function soon(when, fn)
  return assert(core.fork(function(pid)
    when:wait(20)
    while not is_asleep(pid) do core.wait({}, {}, "eager", 0.002) end
    fn(pid)
  end, core.getpid()))
end
local function signal(name, pid) os.execute("kill -" .. name .. " " .. pid) end
local begun = sk.Flag(false)
]]

local function run(code)
  return helper.run(PRELUDE .. code)
end

describe("Ctrl-C while the owner waits", function()
  after_each(helper.nothing_left)

  for _, lives in ipairs{ 1, 2 } do
    it("lets its processes finish, then raises Interrupted, with " .. lives
       .. " lives", function()
      assert.equal("false\ttrue\ntrue\tfinished\tfinished\n", run([[
        local function make()
          return process({
            __run__ = function()
              begun:set()
              core.wait({}, {}, "eager", 0.01)
            end,
            __onfinish__ = function(self) self.word = "finished" end,
            __result__ = function(self) return self.word end,
          }, { lives = ]] .. lives .. [[ })
        end
        local p, other = make(), make()
        other:start()
        p:start()
        local helper = soon(begun, function(pid) signal("INT", pid) end)
        local ok, err = pcall(p.result, p)
        print(ok, sk.is(err, "Interrupted"))
        print(p:wait(0), p:result(), other:result())
      ]]))
    end)
  end

  it("kills them when it is pressed again", function()
    assert.equal("false\ttrue\tInterrupted: interrupted again: all processes "
      .. "were killed\nfalse\t9\n", run[[
      local p = process{ __run__ = function()
        begun:set()
        while true do end
      end }
      p:start()
      local helper = soon(begun, function(pid)
        for i = 1, 200 do
          if core.gone(p.pid) then break end
          signal("INT", pid)
          core.wait({}, {}, "eager", 0.05)
        end
      end)
      local ok, err = pcall(p.wait, p)
      print(ok, sk.is(err, "Interrupted"), (tostring(err):gsub("^.-: I", "I")))
      ok, err = pcall(p.result, p)
      print(ok, err.signal)
      os.exit(0)
    ]])
  end)

  it("lasts no longer than the wait", function()
    assert.equal("false\ttrue\ttrue\n", run[[
      local p = process{ __run__ = function()
        begun:set()
        while true do end
      end }
      p:start()
      local helper = soon(begun, function(pid) signal("INT", pid) end)
      local ok, err = pcall(p.wait, p, 1)
      print(ok, sk.is(err, "Interrupted"), p.is_alive)
      p:kill()
    ]])
  end)

  it("reaches listen, too", function()
    assert.equal("false\ttrue\n", run[[
      local p = process{ __run__ = function(self)
        begun:set()
        self:listen()
      end }
      p:start()
      local helper = soon(begun, function(pid) signal("INT", pid) end)
      local ok, err = pcall(p.listen, p)
      print(ok, sk.is(err, "Interrupted"))
    ]])
  end)

  it("is not for the children: a group's SIGINT stops them in order",
  function()
    assert.equal("false\ttrue\tin order\n", run[[
      local p = process({
        __run__ = function(self)
          begun:set()
          -- what the terminal does: every process of the group gets it
          if self.current_run == 0 then signal("INT", core.getpid()) end
          self:listen()
        end,
        __result__ = function() return "in order" end,
      }, { lives = 2 })
      p:start()
      local helper = soon(begun, function(pid) signal("INT", pid) end)
      local ok, err = pcall(p.result, p)
      print(ok, sk.is(err, "Interrupted"), p:result())
    ]])
  end)

  it("is left alone after interrupts(false): the program ends", function()
    assert.equal("waiting\n", run[[
      sk.interrupts(false)
      local p = process{ __run__ = function(self)
        begun:set()
        self:listen()
      end }
      p:start()
      -- no interpreter of ours has a handler in a script's own coroutine
      local helper = soon(begun, function(pid)
        signal("INT", pid)
        core.wait({}, {}, "eager", 0.2)
        signal("KILL", pid)
      end)
      print "waiting"
      p:wait()
      print "not reached"
    ]]:gsub("\n.-interrupted!.*$", "\n"))
  end)

  it("is as it was afterwards", function()
    assert.matches("interrupted!", run[[
      local p = process({ __run__ = function() end }, { runs = 1 })
      p:run()
      local helper = soon(begun, function(pid) signal("INT", pid) end)
      begun:set()
      local ends = core.now() + 20
      while core.now() < ends do core.wait({}, {}, "eager", 1) end
      print "not reached"
    ]])
  end)
end)

describe("the death of the owner", function()
  after_each(helper.nothing_left)

  for _, how in ipairs{ "TERM", "KILL", "HUP", "INT" } do
    for _, lives in ipairs{ 1, 2 } do
      it("by SIG" .. how .. " ends its processes, with " .. lives .. " lives",
      function()
        local pid = tonumber(run([[
          local p = process({ __run__ = function()
            begun:set()
            while true do end
          end }, { lives = ]] .. lives .. [[ })
          p:start()
          begun:wait(20)
          print(p.pid)
          io.stdout:close()
          local inner = core.fork(function(pid)
            core.wait({}, {}, "eager", 0.02)
            signal("]] .. how .. [[", pid)
          end, core.getpid())
          while true do core.wait({}, {}, "eager", 1) end
        ]]):match "%d+")
        helper.wait_until(function() return core.gone(pid) end)
      end)
    end
  end

  it("that just comes to its end takes them along", function()
    local pid = tonumber(run[[
      local p = process{ __run__ = function()
        begun:set()
        while true do end
      end }
      p:start()
      begun:wait(20)
      print(p.pid)
      os.exit(0)
    ]])
    helper.wait_until(function() return core.gone(pid) end)
  end)
end)

-- `script` gives a program a terminal.
local has_script = os.execute "command -v script >/dev/null 2>&1"

describe("the end of the owner's terminal", function()
  after_each(helper.nothing_left)

  local WAYS = {
    waits = "p:wait()", computes = "while true do end",
    maps = "sk.Pool{ workers = 2 }:map(sk.sktime.sleep, { 60, 60 })",
  }

  -- Start a program on a terminal. -> pid of that, of the program, of its
  -- process
  local function on_terminal(code)
    local name = os.tmpname()
    local file = io.open(name, "w")
    file:write(PRELUDE, ([[
      local p = process({ __run__ = function()
        begun:set()
        while true do end
      end }, { lives = 2 })
      p:start()
      begun:wait(20)
      local file = io.open("%s", "w")
      file:write(core.getpid(), " ", p.pid, "\n")
      file:close()
    ]]):format(name .. ".pids"), code)
    file:close()
    local pipe = io.popen(("script -qec 'LUA_PATH=\"%s\" LUA_CPATH=\"%s\" "
      .. "exec %s %s' /dev/null >/dev/null 2>&1 </dev/null & echo $!"):format(
      package.path, package.cpath, helper.interpreter:gsub("'", ""), name))
    local script = tonumber((pipe:read "*l"))
    pipe:close()
    local owner, child
    helper.wait_until(function()
      local pids = io.open(name .. ".pids")
      if not pids then return false end
      owner, child = (pids:read "*a"):match "(%d+) (%d+)\n"
      pids:close()
      return child
    end)
    os.remove(name)
    os.remove(name .. ".pids")
    return script, tonumber(owner), tonumber(child)
  end

  for way, code in pairs(WAYS) do
    if has_script == true or has_script == 0 then
      it("ends it and its processes while it " .. way, function()
        local script, owner, child = on_terminal(code)
        os.execute("kill -KILL " .. script)
        helper.wait_until(function()
          return core.gone(owner) and core.gone(child)
        end)
      end)
    end
  end
end)

describe("a host that takes every exit status", function()
  after_each(helper.nothing_left)

  local ffi_ok, ffi = pcall(require, "ffi")

  -- What a host does that reaps whatever ends: with LuaJIT in this program,
  -- else by the shell's way of ignoring SIGCHLD.
  local REAPS = [[
    local ffi = require "ffi"
    ffi.cdef "int waitpid(int, int *, int);"
    local function reap() while ffi.C.waitpid(-1, nil, 0) > 0 do end end
  ]]

  local CASES = [[
    local function outcome(hooks, lives)
      local p = process(hooks, { runs = 1, lives = lives })
      p:start()
      reap()
      local ok, value = pcall(p.result, p)
      print(ok and value or value.signal or value.exit_code)
    end
    for lives = 1, 2 do
      outcome({ __run__ = function() end,
                __result__ = function() return "fine" end }, lives)
      outcome({ __run__ = function() os.exit(3) end }, lives)
      outcome({ __run__ = function() signal("SEGV", core.getpid()) end }, lives)
    end
  ]]

  if ffi_ok and ffi then
    it("takes nothing from us", function()
      assert.equal("fine\n3\n11\nfine\n3\n11\n", run(REAPS .. CASES))
    end)

    it("takes nothing from us when it ignores SIGCHLD", function()
      assert.equal("fine\n3\n11\nfine\n3\n11\n", run([[
        local ffi = require "ffi"
        ffi.cdef "void (*signal(int, void (*)(int)))(int);"
        ffi.C.signal(17, ffi.cast("void (*)(int)", 1))
        local function reap() end
      ]] .. CASES))
    end)
  end

  it("is recognised by what the child left", function()
    -- the code that a child leaves itself needs no exit status
    local p = core.fork(function() core.exit(7) end)
    helper.wait_until(function() return (select(3, p:poll())) end)
    assert.equal(7, (p:poll()))
    p:close()
  end)
end)

describe("a host's own handler", function()
  after_each(helper.nothing_left)

  local ok = pcall(require, "ffi")

  if ok then
    it("for SIGINT is called as well, and there afterwards", function()
      assert.equal("false\ttrue\t1\ntrue\n", run[[
        local ffi = require "ffi"
        ffi.cdef [=[
          typedef void (*handler)(int);
          handler signal(int, handler);
          int raise(int);
          void perror(const char *);
          int getpid(void);
        ]=]
        -- a C function that may be called in a signal: counts by errno
        local calls = ffi.new("int[1]")
        jit.off()
        local own = ffi.cast("handler", function() calls[0] = calls[0] + 1 end)
        ffi.C.signal(2, own)
        local p = process{ __run__ = function(self)
          begun:set()
          self:listen()
        end }
        p:start()
        local helper = soon(begun, function(pid) signal("INT", pid) end)
        local ok, err = pcall(p.wait, p)
        print(ok, sk.is(err, "Interrupted"), calls[0])
        print(ffi.C.signal(2, own) == own)
      ]])
    end)
  end
end)
