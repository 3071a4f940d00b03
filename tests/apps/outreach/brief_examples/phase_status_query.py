from tests.apps.outreach.brief_examples.db_utils import get_db_connection

conn = get_db_connection()
cursor = conn.cursor()

query = """
SELECT
    company_unique_id,
    company_name,
    current_phase,
    last_phase_completed_at
FROM marketing.company_master
WHERE current_phase = 1.1
ORDER BY last_phase_completed_at DESC
LIMIT 20;
"""

cursor.execute(query)
companies = cursor.fetchall()

for company in companies:
    print(f"  {company[1]} ({company[0]}) - Phase {company[2]}")

cursor.close()
conn.close()
