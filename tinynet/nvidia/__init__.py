"""The GPU as far as it is there: what the driver says (`driver`), which CuPy can use it (`library`), and how its memory
is handed out (`memory`). Nothing is loaded or asked before someone wants a GPU. What users call is `tinynet.cuda`."""
