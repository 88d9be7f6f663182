-- cerial beside the other serializers, each payload that a peer can do, on
-- every Lua: encode, decode, bytes. Medians of 7 runs in turn, ratios.
-- usage: bench/cerial_bench.lua [lua ...]   (luajit lua5.1 lua5.3 lua5.4)

local LUAS = #arg > 0 and arg or { "luajit", "lua5.1", "lua5.3", "lua5.4" }

local build = assert(package.searchpath("suitkaise.core", package.cpath))
  :gsub("/luajit/suitkaise/core%.so$", "")

for _, lua in ipairs(LUAS) do
  io.stdout:flush()
  os.execute(("tools/with-lua %s '%s' bench/cerial/contest.lua")
    :format(lua, build))
end
