local cells = {}
return cells
