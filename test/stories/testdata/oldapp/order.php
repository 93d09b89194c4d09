<?php
// An order form as it was written for a web server that knew its users by
// REMOTE_USER; the gateway's headers are where that is now.
session_start();
$_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
header('Referrer-Policy: no-referrer'); // as security scanners ask of old applications
$who = $_SERVER['HTTP_X_REMOTE_USER'] ?? '';
function h($s) { return htmlspecialchars($s, ENT_QUOTES); }
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    file_put_contents(getenv('STORY_DIR') . '/posts', json_encode([
        'who' => $who, 'body' => base64_encode(file_get_contents('php://input')), 'post' => $_POST,
        'query' => $_SERVER['QUERY_STRING'], 'type' => $_SERVER['CONTENT_TYPE'],
    ]) . "\n", FILE_APPEND | LOCK_EX);
}
?>
<html><head><title>Order</title><link rel="icon" href="data:,"></head><body>
<p id="who"><?= h($who) ?></p>
<p id="roles"><?= h($_SERVER['HTTP_X_REMOTE_ROLES'] ?? '') ?></p>
<p id="visits"><?= $_SESSION['visits'] ?></p>
<?php if ($_SERVER['REQUEST_METHOD'] === 'POST'): ?>
<p id="saved"><?= h($_POST['note']['text'] ?? '') ?></p>
<?php endif ?>
<form method="post">
<textarea id="note" name="note[text]" rows="10" cols="60"></textarea>
<input type="hidden" name="PHP.ini" value="1">
<input id="save" type="submit" name="go" value="Save">
</form>
<table id="server">
<?php foreach ($_SERVER as $name => $value): if (is_string($value) && strncmp($name, 'HTTP_', 5) === 0): ?>
<tr><td><?= h($name) ?></td><td><?= h($value) ?></td></tr>
<?php endif; endforeach ?>
</table>
</body></html>
