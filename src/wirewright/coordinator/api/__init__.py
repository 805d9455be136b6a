"""The API: thin routers over the services, every refusal a problem of RFC 9457."""
