-- Which way a Share takes to the core, whether both do the same, and live
-- things in objects.
local fixture = require "spec.share_helper"
local helper = require "spec.helper"
local sk = require "suitkaise"

local has_ffi = rawget(_G, "jit") ~= nil and pcall(require, "ffi")

-- Without FFI, and with it when there is one.
local WAYS = {
  C = [[package.loaded["suitkaise.share.quick"] = { load = function() end }]],
}
if has_ffi then
  WAYS.FFI = [[
    local quick = require "suitkaise.share.quick"
    local load = quick.load
    function quick.load() return assert(load(true)) end]]
end

local PROGRAM = [[
  local sk = require "suitkaise"
  math.randomseed(5)
  local share = sk.Share()
  local Cell = sk.class "Cell"
  function Cell:init() self.n, self.t = 0, {} end
  function Cell:add(x) self.n = self.n + x return self.n end
  function Cell:put(k, v) self.t[k] = v end
  share.t, share.cell = {}, Cell()
  local VALUES = { 1, -1, 0, 0.5, 2 ^ 53, 2 ^ 63, -2 ^ 53, "", "text",
                   ("x"):rep(3000), true, false, 1e300, "\0\1" }
  local KEYS = { "a", "b", 1, 2, 1.5, -3, true, ("k"):rep(600), "" }
  local function show(v)
    if type(v) == "number" then return ("%.17g"):format(v) end
    if type(v) == "string" then return #v .. v:sub(1, 8) end
    return type(v) == "userdata" and tostring(v) or tostring(v)
  end
  for step = 1, 2000 do
    local key = KEYS[math.random(#KEYS)]
    local value = VALUES[math.random(#VALUES)]
    local holder = ({ share, share.t, share.cell, share.cell.t })
      [math.random(4)]
    local what = math.random(6)
    if what == 1 then holder[key] = value
    elseif what == 2 then holder[key] = nil
    elseif what == 3 then holder[key] = { value }
    elseif what == 4 then
      local ok, n = pcall(sk.increment, holder, key, 1)
      print(step, ok, ok and show(n) or n.message)
    elseif what == 5 then
      print(step, show(share.cell:add(step)))
      share.cell:put(key, value)
    else
      print(step, show(holder[key]), show(holder[key]), #share.t)
    end
  end
  print(#share:errors())]]

describe("the ways to the core", function()
  after_each(helper.nothing_left)

  for way, before in pairs(WAYS) do
    it("keep every promise: " .. way, function()
      assert.equal("60 5 text true nil 3 2\n", helper.run(before .. [[

        local sk = require "suitkaise"
        local share = sk.Share()
        share.n, share.config = 1, { fps = 30, list = { 1, 2, 3 } }
        share.config.fps = 60
        for i = 1, 4 do sk.increment(share, "n") end
        share.text, share.on = "text", true
        share.gone = 1
        share.gone = nil
        share[2.0] = 2
        print(("%d %d %s %s %s %d %d"):format(share.config.fps, share.n,
          share.text, tostring(share.on), tostring(share.gone),
          #share.config.list, share[2]))]]))
    end)
  end

  if has_ffi then
    it("do the same with random operations", function()
      local c = helper.run(WAYS.C .. "\n" .. PROGRAM)
      assert.equal(c, helper.run(WAYS.FFI .. "\n" .. PROGRAM))
      assert.equal(c, helper.run(WAYS.FFI .. "\n" .. PROGRAM, "-joff"))
      assert.matches("^%d+%s", c)
      assert.is_nil(c:match "traceback", c)
    end)

    -- Reads that missed used to be compiled first, and then no loop across
    -- them: ten times slower, in two programs of three.
    it("let a loop of reads be compiled whole, whatever was read before",
    function()
      assert.equal("loop\n", helper.run [[
        local sk = require "suitkaise"
        local util = require "jit.util"
        local share = sk.Share()
        local names, n = {}, 0
        for i = 1, 300 do
          local name = "k" .. i
          names[i], share[name] = name, {}
        end
        share:flush()
        -- What gets hot is the metamethod, and it leaves the compiled code to
        -- make a proxy.
        local function look(name) n = share[name] end
        jit.off(look)
        for i = 1, 300 do look(names[i]) end
        share.n = 1
        n = share.n
        local ends
        local function read(times)
          for _ = 1, times do n = share.n end
        end
        jit.attach(function(what, trace, fn)
          if what == "start" then
            ends = fn == read and trace or nil
          elseif what == "stop" and ends then
            print(util.traceinfo(trace).linktype)
          end
        end, "trace")
        read(1000)]])
    end)

    it("are C when the JIT is off, there is no ffi or another library",
    function()
      local function choice(before, options)
        return helper.run(before .. [[

          local made, why = require "suitkaise.share.quick".load()
          io.write(made and "ffi" or tostring(why))]], options)
      end
      assert.equal("ffi", choice "")
      assert.equal("the JIT is off", choice("", "-joff"))
      assert.equal("no ffi", choice [[
        package.loaded.ffi = nil
        package.preload.ffi = function() error "none" end]])
      assert.matches("another library", choice [[
        local core = require "suitkaise.core"
        core.share_quick_address = core.share_quick_address + 16]])
    end)
  else
    it("is C on PUC Lua", function()
      local made, why = require("suitkaise.share.quick").load()
      assert.is_nil(made)
      assert.equal("not LuaJIT", why)
    end)
  end
end)

describe("a live thing in an object", function()
  after_each(fixture.clean_up)

  it("is connected where methods run: a database in a file", function()
    local driver = require "luasql.sqlite3"
    local path = os.tmpname()
    local env = driver.sqlite3()
    local db = env:connect(path)
    db:execute "create table hits (n integer)"
    local Store = sk.class "Store"
    function Store:init(connection) self.db, self.added = connection, 0 end
    function Store:add(n)
      assert(self.db:execute(("insert into hits values (%d)"):format(n)))
      self.added = self.added + 1
    end
    function Store:sum()
      local cursor = assert(self.db:execute "select sum(n) from hits")
      local sum = cursor:fetch()
      cursor:close()
      return tonumber(sum)
    end
    local share = fixture.share()
    share.store = Store(db)
    share:reconnect_all()
    for i = 1, 4 do share.store:add(i) end
    assert.equal(10, share.store:sum())
    assert.equal(4, share.store.added)
    local cursor = db:execute "select count(*) from hits"
    assert.equal(4, tonumber((cursor:fetch())))
    cursor:close()
    fixture.kill_coordinator(share)
    share:reconnect_all {}
    share.store:add(5)
    assert.equal(15, share.store:sum())
    db:close()
    env:close()
    os.remove(path)
  end)

  it("is none before it is connected, and that is said", function()
    local driver = require "luasql.sqlite3"
    local env = driver.sqlite3()
    local path = os.tmpname()
    local db = env:connect(path)
    local Store = sk.class "Store"
    function Store:init(connection) self.db = connection end
    function Store:run() return self.db:execute "select 1" end
    local share = fixture.share()
    share.store = Store(db)
    fixture.raises("ShareCallError", function() share.store:run() end)
    db:close()
    env:close()
    os.remove(path)
  end)
end)

describe("the bytes of a path", function()
  local core = require "suitkaise.core"

  it("give back its keys", function()
    local path = core.share_path(core.share_path("", "a\0b"), 7)
    assert.same({ "a\0b", 7 }, core.share_keys(path))
  end)

  it("may say anything, and are never decoded", function()
    local path = core.share_path("", "eight by")
    for kind = 0, 255 do
      local bytes = string.char(kind) .. path:sub(2)
      assert.is_true(#core.share_keys(bytes) <= 1)
      assert.same({}, core.share_keys(bytes:sub(1, 7)))
    end
  end)
end)
