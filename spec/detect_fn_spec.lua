-- What detect.fn tells of a function: what it reads and changes around it,
-- whether it is pure, and which calls may wait.

local detect = require "suitkaise.detect"
local helper = require "spec.helper"
local sk = require "suitkaise"

local has_bytecode = helper.lua == "luajit"

-- A function that nobody can look into.
local opaque = coroutine.wrap(function() end)

local function refused(pattern, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_true(sk.is(err, "ArgumentError"), tostring(err))
  assert.matches(pattern, tostring(err))
end

describe("detect.fn", function()
  local config = { fps = 60, video = { width = 1 } }
  local total = 0
  local function half(x) return x / 2 end

  -- reads; writes; is_pure; blocking calls
  local function check_fn(fn, reads, writes, is_pure, waits)
    local found = detect.fn(fn)
    if not has_bytecode then
      assert.same({ "all", "all" }, { found.reads, found.writes })
      return assert.is_nil(found.is_pure)
    end
    assert.equal(reads, table.concat(found.reads, " "))
    assert.equal(writes, table.concat(found.writes, " "))
    assert.equal(is_pure, found.is_pure)
    assert.equal(waits or "", table.concat(found.blocking_calls, " "))
  end

  it("knows a pure function", function()
    check_fn(function(x) return math.floor(x * math.pi) end, "", "", true)
    local limit = 3
    check_fn(function(x) return half(x) + limit end, "limit", "", true)
    check_fn(function(list)
      local copy = {}
      for i, v in ipairs(list) do copy[i] = v end
      table.sort(copy)
      return copy
    end, "", "", true)
  end)

  it("names what it reads that may change", function()
    check_fn(function(x) return x * config.fps end, "config.fps", "", false)
    check_fn(function() return config.video.width end, "config.video.width",
             "", false)
    local count = 0
    local function more() count = count + 1 end
    check_fn(function() return count end, "count", "", false)
    more()
  end)

  it("names what it writes", function()
    check_fn(function(x) total = total + x end, "total", "total", false)
    check_fn(function() config.video.width = 2 end, "config.video",
             "config.video.width", false)
    check_fn(function() _G.detect_spec_x = 1 end, "_G", "_G.detect_spec_x",
             false)
  end)

  it("names the arguments that it changes", function()
    check_fn(function(list) list.n = 1 end, "", "list.n", false)
    check_fn(function(list, x) table.insert(list, x) end, "", "list.[]",
             false)
  end)

  it("lists the calls that may wait", function()
    check_fn(function(c) os.execute(c) end, "", "", false, "os.execute")
    check_fn(function(path)
      local file = io.open(path)
      local text = file:read "*a"
      file:close()
      return text
    end, "", "", false, "io.file.close io.file.read io.open")
    check_fn(function(peer) return peer:receive "*l" end, "", "", false,
             "peer.receive")
    check_fn(function(client) client:send "x" end, "", "", false,
             "client.send")
  end)

  it("lists none of a method that is only named like one", function()
    local found = detect.fn(function(signal) signal:connect "x" end)
    assert.same({}, found.blocking_calls)
  end)

  it("lists what the code names where there is no bytecode", function()
    if has_bytecode then return end
    local sleep = sk.sktime.sleep
    local function check(fn, waits)
      assert.equal(waits, table.concat(detect.fn(fn).blocking_calls, " "))
    end
    check(function(c) os.execute(c) end, "os.execute")
    check(function() return io.popen("ls"):read "*a" end, "io.popen io.read")
    check(function() sleep(1) end, "suitkaise.sktime.sleep")
    check(function() sk.sktime.sleep(1) end, "suitkaise.sktime.sleep")
    check(function(peer) return peer:receive "*l" end, "receive")
    check(function(x) return math.floor(x) end, "")
  end)

  -- Without the module and with one in its place.
  local function check_required(fn, waits)
    local loaded, http = package.loaded.socket, package.loaded["socket.http"]
    local function stub() end
    for _, socket in ipairs { false, { connect = coroutine.wrap(stub),
                                       tcp = coroutine.wrap(stub) } } do
      package.loaded.socket = socket or nil
      package.loaded["socket.http"] = socket
        and { request = coroutine.wrap(stub) } or nil
      local found = table.concat(detect.fn(fn).blocking_calls, " ")
      package.loaded.socket, package.loaded["socket.http"] = loaded, http
      assert.equal(waits, found)
    end
  end

  it("lists those of modules that the function requires itself", function()
    check_required(function(h) return require("socket").connect(h, 1) end,
                   "socket.connect")
    check_required(function(url)
      local http = require "socket.http"
      return (http.request(url))
    end, "socket.http.request")
    check_required(function() return (require "socket".gettime()) end, "")
  end)

  if has_bytecode then
    it("lists those of what such a module makes", function()
      check_required(function(host)
        local client = require("socket").tcp()
        client:connect(host, 1)
        return client:receive()
      end, "socket.tcp().connect socket.tcp().receive")
    end)

    it("follows into a module that is required and loaded", function()
      package.loaded.detect_spec_module = { double = function(x)
        return 2 * x
      end }
      local found = detect.fn(function(x)
        return require("detect_spec_module").double(x)
      end)
      package.loaded.detect_spec_module = nil
      assert.is_true(found.is_pure)
      assert.same({}, found.unknown_calls)
    end)

    it("looks again when such a module becomes another", function()
      local function fn() return require("detect_spec_module").go() end
      local function look(go)
        package.loaded.detect_spec_module = { go = go }
        local found = detect.fn(fn).is_pure
        package.loaded.detect_spec_module = nil
        return found
      end
      assert.is_true(look(function() return 1 end))
      assert.is_false(look(function() total = total + 1 end))
      assert.is_nil(detect.fn(fn).is_pure)
    end)
  end

  it("lists a C function itself", function()
    assert.same({ "os.execute" }, detect.fn(os.execute).blocking_calls)
    assert.same({}, detect.fn(math.floor).blocking_calls)
  end)

  it("lists them through helpers", function()
    local function run(c) return os.execute(c) end
    check_fn(function() return run "true" end, "", "", false, "os.execute")
  end)

  it("knows the functions of modules under any name", function()
    local socket = { select = coroutine.wrap(function() end) }
    local before = package.loaded.socket
    package.loaded.socket = socket
    local wait_for = socket.select
    check_fn(function(list) wait_for(list) end, "", "", false,
             "socket.select")
    package.loaded.socket = before
  end)

  it("does not know what it cannot follow", function()
    local fn = function(x) return opaque(x) end
    local found = detect.fn(fn)
    assert.is_nil(found.is_pure)
    assert.same(has_bytecode and { "opaque" } or {}, found.unknown_calls)
    assert.is_nil(detect.fn(math.floor).is_pure)
  end)

  it("says no to what depends on the world", function()
    check_fn(function() return os.time() end, "", "", false)
    check_fn(function() return math.random() end, "", "", false)
    check_fn(function() print "x" end, "", "", false)
  end)

  it("looks again when an upvalue changes", function()
    local step = function(x) return x end
    local function fn(x) return step(x) end
    assert.equal(has_bytecode and true or nil, detect.fn(fn).is_pure)
    step = function() total = total + 1 end
    assert.is_not_true(detect.fn(fn).is_pure)
  end)

  it("refuses what is no function", function()
    refused("fn must be a function, got 3", detect.fn, 3)
  end)
end)
