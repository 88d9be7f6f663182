-- What `make install` and LuaRocks put where, for the Lua that runs this.

-- Nothing of it depends on the compiler being on.
if jit and not jit.status() then return end

local lua = jit and "luajit" or _VERSION:lower():gsub(" ", "")
local version = _VERSION:match("%d%.%d")
local build = os.getenv("BUILD") or "build"

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- -> exit status, output
local function run(...)
  local pipe = io.popen("{ " .. table.concat({ ... }, " ") ..
    "; } 2>&1 </dev/null; echo status=$?")
  local text = pipe:read("*a")
  pipe:close()
  return tonumber(text:match("status=(%d+)%s*$")),
    (text:gsub("status=%d+%s*$", ""))
end

local function ok(...)
  local status, text = run(...)
  assert(status == 0, text)
  return text
end

-- Files below a folder, relative to it, as a set.
local function files(folder)
  local found = {}
  for path in ok("cd", quote(folder), "&& find . ! -type d"):gmatch("[^\n]+") do
    found[path:sub(3)] = true
  end
  return found
end

describe("installation", function()
  local scratch, folder

  before_each(function()
    scratch = os.tmpname()
    os.remove(scratch)
    folder = scratch .. "/with a blank"
    ok("mkdir -p", quote(folder))
  end)

  after_each(function() ok("rm -rf", scratch) end)

  local function make(target, prefix, more)
    return ok("make", target, "BUILD=" .. quote(build), "LUA=" .. lua,
      "PREFIX=" .. quote(prefix), more or "")
  end

  local function works_with(interpreter, prefix)
    local share = prefix .. "/share/lua/" .. version
    local lib = prefix .. "/lib/lua/" .. version
    local text = ok("cd / && env -u LUA_PATH_5_3 -u LUA_CPATH_5_3",
      "-u LUA_PATH_5_4 -u LUA_CPATH_5_4",
      "LUA_PATH=" .. quote(share .. "/?.lua;" .. share .. "/?/init.lua"),
      "LUA_CPATH=" .. quote(lib .. "/?.so"), interpreter, "-e", quote [[
      local sk = require "suitkaise"
      local counter = sk.Counter(41)
      io.write(sk.version, " ", tostring(counter:increment()))
    ]])
    assert.matches("^%S+ 42", text)
  end

  it("makes require work from anywhere", function()
    make("install", folder)
    works_with(lua, folder)
  end)

  it("writes below share/lua and lib/lua of that version only", function()
    make("install", folder)
    local found = files(folder)
    assert.is_true(found["lib/lua/" .. version .. "/suitkaise/core.so"])
    assert.is_true(found["share/lua/" .. version .. "/suitkaise/init.lua"])
    for path in pairs(found) do
      local within = path:match("^share/lua/(%d%.%d)/suitkaise/.*%.lua$") or
        path:match("^lib/lua/(%d%.%d)/suitkaise/core%.so$")
      assert.equal(version, within, path)
    end
  end)

  it("leaves what it did not install when it is undone", function()
    make("install", folder)
    local own = "share/lua/" .. version .. "/suitkaise/plugin.lua"
    ok("touch", quote(folder .. "/" .. own))
    make("uninstall", folder)
    assert.same({ [own] = true }, files(folder))
  end)

  it("puts DESTDIR before the prefix", function()
    make("install", "/opt/sk", "DESTDIR=" .. quote(folder))
    assert.is_true(
      files(folder)["opt/sk/lib/lua/" .. version .. "/suitkaise/core.so"])
  end)

  it("refuses a Lua that it does not know", function()
    local status, text = run("make install LUA=lua5.2 PREFIX=" ..
      quote(folder))
    assert.not_equal(0, status)
    assert.matches("LUA must be one of luajit lua5.1 lua5.3 lua5.4, not lua5.2",
      text, 1, true)
    assert.same({}, files(folder))
  end)

  it("exports the core's functions, what LuaJIT calls, the module", function()
    local text = ok("nm -D --defined-only",
      quote(build .. "/" .. lua .. "/suitkaise/core.so"))
    assert.matches("luaopen_suitkaise_core", text, 1, true)
    for name in text:gmatch("%x+ %a (%S+)") do
      assert.is_true(name == "luaopen_suitkaise_core" or
        name:match("^sk_") ~= nil or
        name:match("^lsk_share_quick_") ~= nil, name)
    end
  end)

  it("comes as a rock that works without the checkout", function()
    -- Variables of the make that runs this would override the rockspec's.
    local clean = "env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS"
    local checkout, tree = folder .. "/checkout", scratch .. "/rocks"
    ok("mkdir", quote(checkout), "&& cp -r Makefile mk tools src lua rockspec",
      "doc LICENSE", quote(checkout))
    ok("cd", quote(checkout), "&&", clean, "luarocks --lua-version", version,
      "--tree", tree, "make")
    ok("rm -rf", quote(checkout))
    works_with(lua, tree)
    if version == "5.1" then works_with("luajit", tree) end
    local module = tree .. "/lib/lua/" .. version .. "/suitkaise/core.so"
    assert.equal(1, (run("grep -q 'with a blank'", module)))
  end)
end)
