-- busted's command line under the interpreter that runs this file, whichever
-- Lua the installed `busted` script would choose.

-- luv calls back into the state that loaded it and keeps one loop for each
-- time that it is loaded: that state must not be a test's coroutine, nor may
-- a file of specs make the second.
pcall(require, "luv")
require "busted.runner" { standalone = false }
