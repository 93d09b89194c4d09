<?php
// Tells what PHP made of a request.
header('Content-Type: application/json');
$vars = [];
foreach ($_SERVER as $name => $value) {
    if (is_string($value)) {
        $vars[$name] = $value;
    }
}
$path = parse_url('http://x' . $_SERVER['REQUEST_URI'], PHP_URL_PATH);
echo json_encode([
    'vars' => $vars, 'method' => $_SERVER['REQUEST_METHOD'], 'path' => rawurldecode($path ?: $_SERVER['REQUEST_URI']),
    'body' => strlen(file_get_contents('php://input')),
], JSON_INVALID_UTF8_SUBSTITUTE);
