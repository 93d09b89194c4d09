// Sends the held request at once; without script the button does it.
"use strict";
const form = document.getElementById("anteroom-release");
if (form) form.submit();
