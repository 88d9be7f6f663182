-- busted's command line under the interpreter that runs this file, whichever
-- Lua the installed `busted` script would choose.
require "busted.runner" { standalone = false }
