-- The plans to begin with: edit the document and apply it again, it is idempotent.
--
-- null is unlimited (still counted). Give an AI feature "server_only": true once only your server
-- calls it: a signed-in user may otherwise consume it, with metadata of its own choice, directly.
select * from public.apply_plans($plans$
{
  "features": {
    "ai_generation": {"name": "AI generations", "unit": "generation"},
    "export": {"name": "Exports", "unit": "export"},
    "kb_file": {"name": "Knowledge base files", "unit": "file", "kind": "gauge"},
    "image": {"name": "Images", "unit": "image", "costs": {"credit": 10}},
    "credit": {"name": "Credits", "unit": "credit"},
    "sso": {"name": "Single sign-on", "kind": "switch"},
    "max_context": {"name": "Context", "unit": "token", "kind": "value"}
  },
  "plans": {
    "free": {
      "name": "Free",
      "default": true,
      "upgrade_url": "/settings/billing",
      "limits": {
        "ai_generation": {"month": 50},
        "export": {"month": 5},
        "kb_file": {"lifetime": 10}
      },
      "values": {"max_context": 8000}
    },
    "pro": {
      "name": "Pro",
      "limits": {
        "ai_generation": {"month": null},
        "export": {"month": null},
        "kb_file": {"lifetime": 500}
      },
      "values": {"sso": true, "max_context": 200000}
    },
    "enterprise": {
      "name": "Enterprise",
      "limits": {
        "ai_generation": {"month": null},
        "export": {"month": null},
        "kb_file": {"lifetime": null}
      },
      "values": {"sso": true, "max_context": 1000000}
    },
    "team": {
      "name": "Team",
      "hidden": true,
      "upgrade_url": "/settings/billing",
      "limits": {
        "credit": {"month": 1000},
        "ai_generation": {"month": 500},
        "kb_file": {"lifetime": 100}
      },
      "per_member": {"credit": {"month": 300}},
      "values": {"max_context": 200000}
    }
  }
}
$plans$);
