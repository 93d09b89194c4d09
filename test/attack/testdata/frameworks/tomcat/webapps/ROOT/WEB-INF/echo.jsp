<%@ page session="false" contentType="application/x-environ" trimDirectiveWhitespaces="true" import="java.util.*" %><%
// Tells what Tomcat made of a request, NUL between the parts.
int body = 0;
for (int c; (c = request.getInputStream().read()) >= 0; ) body++;
StringBuilder b = new StringBuilder();
for (String name : Collections.list(request.getHeaderNames()))
    b.append(name).append('=').append(String.join(", ", Collections.list(request.getHeaders(name)))).append('\0');
String path = request.getServletPath() + (request.getPathInfo() == null ? "" : request.getPathInfo());
b.append("PATH_INFO=").append(path).append('\0');
b.append("REQUEST_METHOD=").append(request.getMethod()).append('\0');
b.append("BODY=").append(body).append('\0');
out.print(b);
%>
