// Closes the small window; browsers let a script close only what a script opened.
"use strict";
window.close();
